"""Few-shot distillation: can what a language model does with examples in its prompt be trained into its weights?"""
