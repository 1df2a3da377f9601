"""What is kept of a learner's own work: predictions, which exercises are done, and the certificate on them."""
