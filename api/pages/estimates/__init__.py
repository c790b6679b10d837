"""The page of a kept estimate: its address, links, print, PDF; history and comparison."""
