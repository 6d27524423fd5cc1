"""The masters that lend Spark its executors: what they offer, what becomes of applications, what drivers say."""
