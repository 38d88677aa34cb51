"""The attributes that are read: all of them exist, and what is kept is among what is read."""

from pydicom.datadict import dictionary_VR, keyword_for_tag

from bigimage.sources.dicom.tags import EXPORT, HEADER_TAGS, PIXEL_DATA, PRIVATE, TAGS


def test_every_keyword_is_of_the_standard_or_private() -> None:
    for keyword, tag in TAGS.items():
        if keyword not in PRIVATE:
            assert keyword_for_tag(tag) == keyword
            assert dictionary_VR(tag)
        else:
            assert (tag >> 16) % 2 == 1


def test_what_is_kept_is_read() -> None:
    assert {TAGS[keyword] for keyword in EXPORT} <= HEADER_TAGS
    assert not HEADER_TAGS & PIXEL_DATA.keys()


def test_nothing_is_read_that_names_places_or_people_beyond_what_is_kept() -> None:
    named = ("InstitutionName", "InstitutionAddress", "PatientAddress", "OperatorsName", "OtherPatientIDs")
    assert not set(named) & TAGS.keys()
