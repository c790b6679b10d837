"""`make up`: checks, embedded servers, and one supervisor over the processes of the Procfile."""
