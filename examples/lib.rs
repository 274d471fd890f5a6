//! One question a file: each example opens with its question, and with the command that answers it.
