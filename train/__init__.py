"""From folders of source to a served model."""
