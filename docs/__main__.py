"""Writes the generated pages anew; says which have changed."""

from docs.generated import PAGES, generated

if __name__ == "__main__":
    for path in PAGES:
        new = generated(path)
        if not path.exists() or path.read_text() != new:
            path.write_text(new)
            print(f"written: docs/{path.name}")
