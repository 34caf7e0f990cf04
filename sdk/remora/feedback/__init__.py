"""What users do with answers, told from their messages and from what they did with the text."""
