"""OpenAI's wire formats, which half of the world took over."""
