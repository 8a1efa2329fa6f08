"""What all studies share: steps that are kept, the models and scores, one format of results, pictures and pages."""
