"""What was said in an exchange, and when: made of the record and the stored bodies when it is asked for. Pure; the audit API answers it."""
