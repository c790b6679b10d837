"""The pages: server-rendered HTML, French, no outside address."""
