"""The distilled model for its users: an adapter, a merged model, and a card that says what it is."""
