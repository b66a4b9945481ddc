//! What the store has of a request.
