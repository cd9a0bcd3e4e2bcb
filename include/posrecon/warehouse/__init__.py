"""The warehouse of one night: what goes in, who may open it, what readers get."""
