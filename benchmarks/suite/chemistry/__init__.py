"""Three BERTs of chemical reactions, of which there are weights and nothing else: what can be said without data.

    python -m benchmarks.suite.chemistry --assets DIR

One was pretrained on reaction SMILES (masked tokens), two were finetuned from it to classify reactions: on a commercial
set, and on ten thousand reactions of a public one. They come pickled, one of them under other names, all with other
heads, and without any labelled example: a real case for pre-flight, alignment, merging, and for saying what cannot be
known. Results are `benchmarks/results/suite/chemistry.json`.
"""
