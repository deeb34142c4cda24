"""Where do new artifacts come from?

So far: the embedded demo data set and the two models that `holdfast demo` trains on it.
"""
