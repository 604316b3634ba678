"""Pictures with fine detail, drawn from a seed, with questions, answers, evidence boxes and marks."""
