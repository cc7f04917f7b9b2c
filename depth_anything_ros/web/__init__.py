"""Pages for a browser: the demo (`serve`), the settling of a vote, and the live view (`view`)."""
