"""How far a study is, read from what drivers and jobs leave behind; nothing is taken, written or waited for."""
