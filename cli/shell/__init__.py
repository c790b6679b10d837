"""What all commands share with the shell: language, options, help, exit codes, completion."""
