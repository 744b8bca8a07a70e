"""Diagnoses: signs that a preview will fail, with the remedy to try, before money is spent."""
