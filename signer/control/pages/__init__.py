"""The dashboard: pages that the control process renders for people in a browser. No build step, no internet."""
