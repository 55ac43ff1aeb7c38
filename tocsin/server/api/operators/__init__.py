"""Operations for operators: looking at nodes and users, and mending what is stuck."""
