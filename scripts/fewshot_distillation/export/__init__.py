"""The distilled model for its users: an adapter, a merged model, and a model card."""
