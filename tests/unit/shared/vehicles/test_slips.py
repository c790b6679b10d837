"""Misspelt names of popular models are read, or the model is suggested."""

from benchmarks.name_slips import catalogue_names, measure


def test_slips_of_popular_models_lead_to_the_model_and_silently_to_no_other():
    report = measure(catalogue_names(), rounds=3)
    assert report.slips > 1500
    assert report.silently_wrong == []
    assert len(report.wrongly_corrected) <= 0.005 * report.slips, report.wrongly_corrected
    assert report.found >= 0.95 * report.slips, report.lost
