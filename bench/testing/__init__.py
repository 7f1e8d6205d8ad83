"""The conformance kit, and the packages that ``bench new`` writes.

In a plugin's own tests::

    from bench import assert_conforms

    def test_mine() -> None:
        assert_conforms(MyPredictor)
"""
