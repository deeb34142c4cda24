"""How does a model answer that is not made of arrays? It lives in a capped child of its own, which stays and is asked.

    server: starting (the child's plan)  scorer (asks it, one batch at a time)  batching (who is in the next batch)  version
    child:  child (walls, then serving)  unpickling (for real, by an allow-list)  estimator (rows in, predictions out)  paths

`allowed` is the list of what may be unpickled. The server imports neither pickle nor scikit-learn here.
"""
