"""`/jobs`: submit and poll."""
