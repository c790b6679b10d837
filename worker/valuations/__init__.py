"""Single cars and jobs: claim, estimate, record, answer."""
