"""Says to which InferenceService an exchange belonged, and what that service's annotations were when the request began.

Versions of services come from a watch (`watch`), a file (`static`) or the store (`store`); the catalogue keeps them and
answers from memory. `match` and `attach` turn an exchange's facts and a version into the record's ``service``.
Nothing here calls Kubernetes on the way of the data.
"""
