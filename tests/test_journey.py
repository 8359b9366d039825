"""The journey of one record: from a file to a table, back to its line, through a correction, and back in time.

Read this file first. Everything in it is done through `Lake`, the one object there is.
"""


def test_a_record_goes_from_a_file_to_a_table_and_back_and_its_past_stays_readable(project):
    # A file arrives. It holds two flights; the second one's number is not a number.
    project.deliver(
        "2013-01-01.csv",
        "time_hour,carrier,flight,origin,dep_delay\n"
        "2013-01-01T05:00:00Z,UA,1545,EWR,2\n"
        "2013-01-01T06:00:00Z,AA,one,JFK,NA\n",
    )

    with project.lake() as lake:
        # Landing copies the bytes as they are. It asks for no schema and looks into no file.
        landed = lake.land("flights")
        assert (landed.files, landed.new) == (1, 1)

        # Curating reads, types and checks them. Every row goes somewhere: read = curated + rejected.
        curated = lake.curate("aviation/flights")
        assert (curated.read, curated.curated, curated.rejected) == (2, 1, 1)
        assert curated.version == 0

        # The good record is a row now. `_raw` and `_row` say where it came from.
        [row] = lake.read("aviation/flights").to_dicts()
        assert (row["carrier"], row["flight"], row["dep_delay"]) == ("UA", 1545, 2)
        assert row["_row"] == 1

        # So it can be traced to the file, the line and the text it was made of.
        trace = lake.trace("aviation/flights", row)
        assert trace.origins[0].endswith("incoming/2013-01-01.csv")
        assert (trace.line, trace.text) == (2, "2013-01-01T05:00:00Z,UA,1545,EWR,2")

        # The bad record is not lost: it waits in quarantine, with the reason and its own words.
        [rejected] = lake.quarantine("aviation/flights").collect().to_dicts()
        assert rejected["reasons"] == ["flight: not an int"]
        assert lake.trace("aviation/flights", rejected).text == "2013-01-01T06:00:00Z,AA,one,JFK,NA"

        # What is known at this moment?
        then = project.clock()

    # The sender corrects the file: the delay was 4, and the flight's number 1141.
    project.deliver(
        "2013-01-01.csv",
        "time_hour,carrier,flight,origin,dep_delay\n"
        "2013-01-01T05:00:00Z,UA,1545,EWR,4\n"
        "2013-01-01T06:00:00Z,AA,1141,JFK,NA\n",
    )

    with project.lake() as lake:
        # A job lands and curates in one go. The new bytes take the place of the old ones.
        ran = lake.run("nightly")
        assert ran.ok
        assert [note.kind for note in ran.landed[0].notes] == ["changed"]

        now = lake.read("aviation/flights").sort("flight")
        assert now.select("flight", "dep_delay").rows() == [(1141, None), (1545, 4)]
        assert lake.quarantine("aviation/flights").collect().is_empty()

        # Nothing was overwritten. What was known before the correction is still the answer to that question.
        before = lake.read("aviation/flights", as_of=then)
        assert before.select("flight", "dep_delay").rows() == [(1545, 2)]
        assert lake.read("aviation/flights", version=0).equals(before)

        # The corrected row has a file of its own in the raw zone, and the old row still has the old one.
        [corrected] = now.filter(flight=1545).to_dicts()
        assert lake.trace("aviation/flights", corrected).text.endswith(",4")
        assert lake.trace("aviation/flights", row) == trace
