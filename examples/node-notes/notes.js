// Notes in one JSON file. Each change writes a new file beside it and renames it, so that a crash leaves the old or the
// new notes and never half of them.

import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';

export const LONGEST_NOTE = 1000;

export class Notes {
  #path;
  #notes;
  #last = Promise.resolve();

  constructor(path, notes) {
    this.#path = path;
    this.#notes = notes;
  }

  static async load(path) {
    await mkdir(dirname(path), { recursive: true });
    try {
      return new Notes(path, JSON.parse(await readFile(path, 'utf8')));
    } catch (error) {
      if (error.code === 'ENOENT') return new Notes(path, []);
      throw error;
    }
  }

  list() {
    return this.#notes;
  }

  // Adds a note and resolves once it is on the disk; changes are written one after the other.
  add(text) {
    const note = { id: (this.#notes.at(-1)?.id ?? 0) + 1, text };
    this.#notes = [...this.#notes, note];
    this.#last = this.#last.then(() => this.#write());
    return this.#last.then(() => note);
  }

  async #write() {
    const draft = `${this.#path}.draft`;
    const file = await open(draft, 'w');
    try {
      await file.writeFile(JSON.stringify(this.#notes));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(draft, this.#path);
  }
}
