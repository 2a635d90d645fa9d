"""Pure case logic: states, guards and conflicts of a case, and the deadlines that law sets."""
