// What to do about each type of failure: [what it means, what to do], in plain words. docs/failures.md says more.

/** @type {Record<string, [string, string]>} */
export const ADVICE = {
  source_unavailable: ["The source does not answer", "Nothing, if it passes. Otherwise look at the source: the message above has its own words."],
  fetch_timeout: ["The download took too long", "Raise fetch_timeout of this model, or bring the source nearer. What has arrived is kept."],
  fetch_stalled: ["The download stood still", "Look at the network. Raise stall_timeout for a source that thinks before it sends. What has arrived is kept."],
  disk_full: ["The store has no room", "Make room on its disk, lower max_bytes of the store, or move the store."],
  source_not_found: ["The source has no such file", "Correct the source of this model, or publish the file there, then reload."],
  access_denied: ["The source refuses access", "Give the server's user or key access, then reload."],
  digest_mismatch: ["This is not the file that was announced", "Find out which is wrong: correct sha256 and restart, or publish the right file."],
  too_large: ["The file, or what is in it, is too large", "Raise max_artifact_bytes or segment_limit if it is meant to be so large. A small file with huge arrays is a bomb."],
  not_a_model: ["The source sent something that is no model", "Open the address yourself: it is often a sign-in or error page that is sent as if all were well."],
  unknown_format: ["Nothing here can read this model", "Save it in a form that is read: holdfast check FILE shows what is in it."],
  corrupt_artifact: ["The file is damaged", "Compare it with the original, and copy or publish it again. Set sha256 to be told sooner."],
  missing_keys: ["The model file lacks parts", "Save the model with the keys that the message lists."],
  untrusted_type: ["The model would have to run code that nobody vouched for", "If you trust where the file comes from, set trust = \"any\" under [loading]. Otherwise save the model without the classes that the message lists."],
  memory_cap_exceeded: ["It needs more memory than it is given", "Raise memory of this model, if the file is trusted to be that large. If it happened at a call, send fewer rows at a time."],
  missing_library: ["A library is missing", "Run the pip line of the message in the server's environment, and restart."],
  not_trained: ["The model says that it is not trained", "Publish a trained one."],
  never_fits: ["It cannot fit into this machine's memory", "Give the container more memory, or lower memory of this model or memory_reserve under [loading]."],
  load_timeout: ["Loading took too long", "Raise load_timeout of this model, or look at what else uses the machine."],
  child_crashed: ["The process that held or loaded it died", "Look at the kernel's log: was it out of memory? Then reload."],
  internal_error: ["A defect of Holdfast", "Report it, with the traceback from the server's log."],
  segment_invalid: ["The loading process left something unsafe", "Treat the file as hostile until it is known not to be: the process that read it was taken over, or has a defect."],
  training_failed: ["What was to stand in could not be trained", "The message says why: mend that, then reload. Its run is shown under Training."],
  training_refused: ["What was trained to stand in is too bad to serve", "Look at the figures of its run under Training: more or better data, or a lower gate. Train it with force to serve it all the same."],
  canary_failed: ["A new version cannot answer what the one before was asked", "Nothing has to be done to serve: the version before goes on. Find out what is missing in the data that it was trained on, and train again."],
  part_unavailable: ["A model that this one is made of cannot serve", "Mend or load the model that the message names: this one then is ready by itself."],
};

/** The same for what ends a training run, where a run needs other words than a load. @type {Record<string, [string, string]>} */
export const RUN_ADVICE = {
  data_unavailable: ["The database cannot be reached", "Nothing, if it passes: train again then. Otherwise look at url under [data], and at the database: the message has its own words."],
  bad_data: ["The data is not what a training needs", "Correct the query or the table that the message names."],
  bad_parameter: ["The algorithm does not take such a parameter", "Correct parameters of this training as the message says, and restart."],
  untrainable: ["Nothing can be learned from this data", "The message says what is missing: more interactions, texts, or memory of this training."],
  part_unpublished: ["A part of the hybrid has published nothing", "Train the part that the message names first."],
  training_timeout: ["It took longer than it may", "Raise timeout of this training, or make it smaller: fewer factors, fewer sweeps."],
  memory_cap_exceeded: ["It needs more memory than it is given", "Raise memory of this training, or make it smaller: fewer factors, or less data."],
  child_crashed: ["Its process died", "Look at the log below and at the kernel's: was it out of memory? What served goes on. Train again."],
  disk_full: ["The store has no room", "Make room on its disk, keep fewer versions, or move the store. Then train again."],
};

/** For a type that this page does not know. @type {[string, string]} */
export const UNKNOWN = ["It failed", "Read the message above and the server's log."];
