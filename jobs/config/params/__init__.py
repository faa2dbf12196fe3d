"""What each stage computes: one frozen Params class per stage, by subject, and the presets that fill them.

Light on purpose: the DAGs import it. Defaults are those of the preset `small`. Stages import their own subject, so
that a change in another one does not concern them.
"""
