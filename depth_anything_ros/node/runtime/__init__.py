"""How the node runs: worker, subscriptions, log, diagnostics, Fast DDS."""
