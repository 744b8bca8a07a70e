"""Problems from Hugging Face models and files of examples, without a line of code."""
