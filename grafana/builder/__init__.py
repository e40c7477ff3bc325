"""The dashboards as code; see generate.py beside this folder."""
