"""Extractors: files of other formats become text, or are refused with a reason; each in a process of its own."""

import os
import shutil
import signal
import zipfile

import pytest

from conftest import embedded_config, test_data
from test_ingest_jobs import again, aside, documents, finds, job, settled, until
from test_isolation import children

NODES = "".join(f"[extractor {name}]\nplugin = {name}\n" for name in ("html", "office", "pdf", "rtf"))


def config(root, nodes=NODES):
    return embedded_config(embed=False, extra=f"{nodes}[ingest notes]\nroot = {root}\nstore = docs\ninterval = 1h\n"
                                              "watch = false")


def pack(path, parts, mimetype=None):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        if mimetype:
            archive.writestr(zipfile.ZipInfo("mimetype"), mimetype)
        for name, text in parts.items():
            archive.writestr(name, text)


W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def docx(path, body, prolog="", title="A report"):
    pack(path, {"word/document.xml": f"{prolog}<w:document {W}><w:body>{body}</w:body></w:document>",
                "docProps/core.xml": '<c xmlns:dc="http://purl.org/dc/elements/1.1/">'
                                     f"<dc:title>{title}</dc:title></c>"})


def paragraph(text, style=""):
    style = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{style}<w:r><w:t>{text}</w:t></w:r></w:p>"


def pdf(pages):
    """A small PDF, written by hand."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>",
               f"<< /Type /Pages /Count {len(pages)} /Kids [{' '.join(f'{4 + 2 * i} 0 R' for i in range(len(pages)))}] >>",
               "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    for i, text in enumerate(pages):
        stream = f"BT /F1 12 Tf 50 700 Td ({text}) Tj ET"
        objects.append("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >> "
                       f"/Contents {5 + 2 * i} 0 R >>")
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    out, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode()
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    return out + (f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}trailer\n<< /Size {len(objects) + 1} "
                  f"/Root 1 0 R >>\nstartxref\n{len(out)}\n%%EOF\n").encode()


PAGE = """<!DOCTYPE html><html><head><title> A page &amp; more </title><style>p { color: red }</style></head><body>
<nav><a href="/">Home and navigation</a></nav><div role="banner">A banner of the site</div>
<h1>Harbours</h1><p>The harbour of <b>Ostend</b> was
dredged.</p><h2>Boats</h2><ul><li>A trawler</li><li>A cutter</li></ul><script>alert("no text")</script>
<pre>  kept   as
it is</pre><footer>All rights reserved</footer></body></html>"""


@pytest.fixture(scope="module")
def taken(make_host, tmp_path_factory):
    """A host that has taken one file of each format."""
    root = tmp_path_factory.mktemp("formats")
    (root / "page.html").write_text(PAGE)
    (root / "latin.htm").write_bytes('<html><head><meta charset="iso-8859-1"></head><body><p>Große Schiffe'
                                     .encode("iso-8859-1"))
    docx(root / "report.docx", paragraph("Bridges", "Heading1") + paragraph("The bridge at Tay fell.") +
         "<w:p><w:r><w:delText>gone</w:delText><w:t xml:space='preserve'>One </w:t></w:r><w:r><w:tab/><w:t>two"
         "</w:t></w:r></w:p>" + paragraph("Tunnels", "Heading2") + paragraph("A tunnel under the river."))
    pack(root / "letter.odt", {"content.xml": '<office:document-content xmlns:office="o" xmlns:text="t"><office:body>'
                               '<text:h text:outline-level="1">Castles</text:h><text:p>The <text:span>keep</text:span>'
                               '<text:s/>is old.</text:p></office:body></office:document-content>'},
         "application/vnd.oasis.opendocument.text")
    (root / "note.rtf").write_bytes(
        rb"{\rtf1\ansi\ansicpg1252\uc1{\fonttbl{\f0 Arial;}{\f1\fcharset204 Arial;}}{\info{\title The note}}"
        rb"{\*\generator hidden}\pard\outlinelevel0 Valleys\par\pard Gro\'dfes Tal \emdash  und "
        rb"\u-10179?\u-8704? fern\par {\f1\'cf\'f0\'e8\'e2\'e5\'f2}\par{\pict hidden}}")
    (root / "paper.pdf").write_bytes(pdf(["Volcanoes of Iceland erupt.", "Geysers are hot springs."]))
    shutil.copy(root / "paper.pdf", root / "no-ending")
    host = make_host(config(root))
    state = settled(host)
    assert state["set_aside"] == []
    return host


def chunks(host, name):
    return host.get(f"/v1/documents/notes/{name}").json["chunks"]


def text_of(host, name):
    return "\n".join(chunk["content"] for chunk in chunks(host, name))


def metadata(host, query, word):
    found = host.context(query=query, max_chunks=10, cache="bypass").json["chunks"]
    return next(chunk["metadata"] for chunk in found if word in chunk["content"])


def test_html(taken):
    text = text_of(taken, "page.html")
    assert "The harbour of Ostend was dredged." in text and "A trawler" in text and "kept   as\nit is" in text
    for around in ("navigation", "banner", "rights", "alert", "color"):
        assert around not in text
    assert documents(taken)["notes/page.html"]["title"] == "A page & more"
    assert metadata(taken, "trawler cutter", "trawler")["headings"] == ["Harbours", "Boats"]
    assert "Große Schiffe" in text_of(taken, "latin.htm")


def test_docx(taken):
    text = text_of(taken, "report.docx")
    assert "The bridge at Tay fell." in text and "One two" in text and "gone" not in text
    assert documents(taken)["notes/report.docx"]["title"] == "A report"
    assert metadata(taken, "tunnel river", "under the river")["headings"] == ["Bridges", "Tunnels"]


def test_odt(taken):
    assert "The keep is old." in text_of(taken, "letter.odt")
    assert metadata(taken, "keep old", "keep")["headings"] == ["Castles"]


def test_pdf_keeps_its_pages(taken):
    assert [chunk["content"] for chunk in chunks(taken, "paper.pdf")] == ["Volcanoes of Iceland erupt.",
                                                                         "Geysers are hot springs."]
    assert metadata(taken, "geysers springs", "Geysers")["page"] == 2
    assert "notes/no-ending" in documents(taken)  # known by how it begins


def test_rtf(taken):
    assert "Großes Tal — und 😀 fern" in text_of(taken, "note.rtf") and "hidden" not in text_of(taken, "note.rtf")
    assert "Привет" in text_of(taken, "note.rtf")
    assert documents(taken)["notes/note.rtf"]["title"] == "The note"
    assert metadata(taken, "tal fern", "Tal")["headings"] == ["Valleys"]


def test_places_are_exact(taken):
    for name in ("page.html", "report.docx", "paper.pdf"):
        last = 0
        for chunk in chunks(taken, name):
            assert chunk["end"] - chunk["begin"] == len(chunk["content"].encode())
            assert chunk["begin"] >= last or chunk["begin"] < chunk["end"]
            last = chunk["end"]


def test_hostile_files_are_refused(make_host, tmp_path):
    root = tmp_path / "hostile"
    root.mkdir()
    docx(root / "bomb.docx", ('<w:p a="' + "x" * 1_000_000 + '"/>') * 300)
    docx(root / "run.docx", paragraph("x" * 100_000_000))
    lol = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
    docx(root / "laughs.docx", paragraph("&l9;"), f'<!DOCTYPE d [<!ENTITY l0 "lol">{lol}]>')
    docx(root / "secret.docx", paragraph("&file;"), '<!DOCTYPE d [<!ENTITY file SYSTEM "file:///etc/passwd">]>')
    (root / "cut.docx").write_bytes((root / "laughs.docx").read_bytes()[:200])
    (root / "old.docx").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(4096))
    pack(root / "other.docx", {"other.xml": "<a/>"})
    (root / "cut.pdf").write_bytes(pdf(["A page."])[:120])
    (root / "deep.html").write_text("<div>" * 100_000 + "Down below" + "</div>" * 100_000)
    (root / "empty.html").write_text("<html><body></body></html>")
    (root / "good.txt").write_text("The rest goes on.\n")
    host = make_host(config(root))
    state = settled(host, seconds=180)
    reasons = aside(state)
    assert "notes/good.txt" in documents(host)
    for name in ("bomb.docx", "run.docx", "laughs.docx", "secret.docx", "cut.docx", "old.docx", "other.docx", "cut.pdf", "empty.html"):
        assert reasons.get(name), (name, reasons)
    assert "document type" in reasons["secret.docx"], reasons
    assert "max-size" in reasons["bomb.docx"]
    assert host.resident() < 1 << 30 or host.sanitized()
    assert not any("root:" in text for text in finds(host, "root"))
    assert again(host)["to_read"] == 0


def test_a_file_whose_extractor_died_keeps_its_document(make_host, tmp_path):
    root = tmp_path / "pages"
    root.mkdir()
    page = root / "page.html"
    page.write_text("<p>The heron of round 0.")
    host = make_host(config(root, "[extractor html]\nplugin = html\n"))
    settled(host)
    for i in range(1, 5):
        page.write_text(f"<p>The heron of round {i * 'x'}.")
        child = children(host).get("html")
        if child is not None:
            os.kill(child, signal.SIGKILL)
        again(host)
        assert set(documents(host)) == {"notes/page.html"}, aside(job(host))

    def is_new():
        again(host)
        assert set(documents(host)) == {"notes/page.html"}
        return any("round xxxx." in text for text in finds(host, "heron"))

    until(is_new, 120)


def test_files_keep_their_documents_while_their_extractor_does_not_run(make_host, tmp_path):
    root = tmp_path / "papers"
    root.mkdir()
    program = tmp_path / "pdftotext"
    program.symlink_to(shutil.which("pdftotext"))
    (root / "one.pdf").write_bytes(pdf(["Volcanoes of Iceland erupt."]))
    (root / "two.pdf").write_bytes(pdf(["Geysers are hot springs."]))
    host = make_host(config(root, f"[extractor pdf]\nplugin = pdf\ncommand = {program}\nrequired = false\n"))
    assert settled(host)["documents"] == 2
    host.stop()
    program.unlink()
    host.start()
    state = settled(host)
    assert (state["to_read"], state["deleted"]) == (0, 0)
    (root / "two.pdf").write_bytes(pdf(["Geysers are springs, and they are hot."]))
    (root / "new.txt").write_text("Fjords are deep.\n")
    state = again(host)
    assert (state["documents"], state["deleted"]) == (1, 0)
    assert aside(state)["two.pdf"].endswith("do not run may be for it: pdf")
    assert set(documents(host)) == {"notes/one.pdf", "notes/two.pdf", "notes/new.txt"}
    program.symlink_to(shutil.which("pdftotext"))
    assert host.post("/v1/admin/reload", b"").status == 200
    until(lambda: any("they are hot" in text for text in finds(host, "geysers")), 120)
    state = settled(host)
    assert (state["documents"], state["deleted"], state["set_aside"]) == (1, 0, [])


def corpus(make_host, tmp_path, every):
    source = test_data("documents", "tika_docs")
    root = tmp_path / "tika"
    files = sorted(path for path in source.rglob("*") if path.is_file())[::every]
    for path in files:
        target = root / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    host = make_host(config(root))
    state = settled(host, seconds=600)
    reasons = aside(state)
    there = documents(host)
    for path in files:
        name = str(path.relative_to(source))
        assert (f"notes/{name}" in there) != (name in reasons), name
    for name, reason in reasons.items():
        assert "crash" not in reason and "process" not in reason, (name, reason)
    return state, len(files)


def test_some_of_the_corpus(make_host, tmp_path):
    state, count = corpus(make_host, tmp_path, 6)
    assert state["documents"] + state["set_aside_total"] == count


@pytest.mark.long
def test_all_of_the_corpus(make_host, tmp_path):
    state, count = corpus(make_host, tmp_path, 1)
    assert state["documents"] + state["set_aside_total"] == count
    by_reason = {}
    for item in state["set_aside"]:
        by_reason.setdefault(item["reason"][:60], []).append(item["document"])
    print(by_reason)
