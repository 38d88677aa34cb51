"""Files of other tools: annotations (`vector`) and masks (`mask`), read and written behind one door (`door`).

A format is one module of plain functions: `NAME`, `SUFFIXES`, `KEEPS`, `sniff`, `read`, `write`; and one line in the
`FORMATS` of its folder. It knows no store, no workspace and no pyramid: what it needs of them is in the `Context` that
it is handed.
"""
