"""What a client can do, by subject: one method for each call, blocking and asynchronous."""
