"""Pure case logic: the state machine, its guards, deadlines and the rules of law that drive them."""
