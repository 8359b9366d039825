"""What a format of one record a line makes of some bytes."""

from lakehouse.formats import Count, Raw


def read(form, folder, data, name="file.txt"):
    """Whole rows as (values..., number) and broken ones as (number, text, reason)."""
    path = folder / name
    path.write_bytes(data)
    file = form.prepare(Raw(f"sha-{name}", name, path), folder)
    if not file.columns:
        return [], []
    frame = form.scan([file]).collect(engine="streaming")
    assert len(frame) == file.rows
    counts = {file.raw.sha256: Count(len(frame), frame["_suspect"].sum())}
    if not form.doubtful([file], counts):
        return frame.drop("_raw", "_suspect").rows(), []
    careful = form.careful(file, folder)
    return careful.frame.drop("_raw").collect().rows(), [row[1:] for row in careful.broken.collect().rows()]
