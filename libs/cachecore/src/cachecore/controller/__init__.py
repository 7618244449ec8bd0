"""The controller runtime: informers see, queues order, controllers reconcile, one leader at a time writes."""
