"""HTTP triggers: requests in, calls of `shared`, responses out."""
