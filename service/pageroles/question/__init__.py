"""What is asked: the values of a question, the filters, the roles, and a request's validation."""
