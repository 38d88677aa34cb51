/** Changes on their way: in order, once, and none is lost, whatever the server and the browser do meanwhile. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Problem } from "../src/api";
import type { Kept } from "../src/annotate/kept";
import type { Feature } from "../src/annotate/model";
import { Outbox, type Draft, type Entry, type Outcome } from "../src/annotate/outbox";

/** A table that answers when it is let to. */
class SlowTable implements Kept {
  readonly rows: Entry[] = [];
  isSafe = true;
  isClosed = false;
  private readonly waiting: (() => void)[] = [];

  constructor(private isSlow = false, left: readonly Entry[] = []) {
    this.rows.push(...left);
  }

  private done(): Promise<void> {
    return this.isSlow ? new Promise((resolve) => this.waiting.push(resolve)) : Promise.resolve();
  }

  letGo(): void {
    this.isSlow = false;
    for (const resolve of this.waiting.splice(0)) resolve();
  }

  add(entry: Entry): Promise<void> {
    this.rows.push(entry);
    return this.done();
  }

  replace(gone: readonly Entry[], changed: readonly Entry[]): Promise<void> {
    for (const entry of gone) this.rows.splice(this.rows.indexOf(entry), 1);
    for (const entry of changed) if (!this.rows.includes(entry)) this.rows.push(entry);
    return this.done();
  }

  adopt(): Promise<Entry[]> {
    return Promise.resolve([...this.rows]);
  }

  close(): void {
    this.isClosed = true;
  }
}

function feature(id: string, label: string): Feature {
  return { type: "Feature", id, geometry: null, properties: { label, attributes: {} } };
}

function draft(id: string, kind: Draft["kind"], base: number | null, label = "a"): Draft {
  return { kind, id, feature: kind === "delete" ? null : feature(id, label), base };
}

/** A server of versions: every change must be made from the present one. */
class Server {
  readonly versions = new Map<string, number>();
  readonly told: string[] = [];
  problems: (Problem | null)[] = [];

  readonly send = async (entry: Entry, base: number): Promise<Outcome> => {
    await Promise.resolve();
    this.told.push(`${entry.kind} ${entry.id} from ${base}`);
    const problem = this.problems.shift();
    if (problem) throw problem;
    const now = this.versions.get(entry.id) ?? 0;
    if (base !== now) {
      const current = feature(entry.id, "theirs");
      throw new Problem(412, `is at version ${now}`, { current: { ...current, properties: { ...current.properties, version: now } } });
    }
    this.versions.set(entry.id, now + 1);
    return { entry, version: now + 1, feature: entry.feature };
  };
}

interface Told {
  stored: string[];
  conflicts: Entry[];
  refused: Entry[];
  adopted: number;
  count: number;
  trouble: string;
}

function outbox(server: Server, kept: Kept, stored: (outcome: Outcome) => void = () => undefined): { box: Outbox; told: Told } {
  const told: Told = { stored: [], conflicts: [], refused: [], adopted: 0, count: 0, trouble: "" };
  const box = new Outbox({
    image: "field", kept, send: server.send, soonest: 1,
    events: {
      stored: (outcome) => {
        told.stored.push(`${outcome.entry.id} ${outcome.version}`);
        stored(outcome);
      },
      conflict: (entry) => told.conflicts.push(entry),
      refused: (entry) => told.refused.push(entry),
      adopted: (entries) => (told.adopted += entries.length),
      waiting: (count, trouble) => ([told.count, told.trouble] = [count, trouble]),
    },
  });
  return { box, told };
}

async function settled(): Promise<void> {
  for (let k = 0; k < 5; k++) await new Promise((resolve) => setTimeout(resolve, 2));
}

test("a change made while the browser's database is slow follows the version that was just stored", async () => {
  const [server, kept, versions] = [new Server(), new SlowTable(true), new Map<string, number>()];
  const { box, told } = outbox(server, kept, ({ entry, version }) => versions.set(entry.id, version));
  box.add(draft("one", "add", null));
  await settled();
  // the first was answered, its row is not gone yet
  assert.equal(box.holds("one"), false);
  assert.equal(versions.get("one"), 1);
  box.add(draft("one", "put", versions.get("one") ?? null, "b"));
  kept.letGo();
  await settled();
  assert.deepEqual(server.told, ["add one from 0", "put one from 1"]);
  assert.deepEqual(told.conflicts, []);
  assert.equal(told.count, 0);
  assert.deepEqual(kept.rows, []);
});

test("changes of one annotation that wait follow one another, also on the page that takes them over", async () => {
  const [server, kept] = [new Server(), new SlowTable()];
  const { box } = outbox(server, kept);
  server.problems = [null, new Problem(0, "away")];
  for (const [k, kind] of (["add", "put", "delete"] as const).entries()) box.add(draft("one", kind, null, String(k)));
  await Promise.resolve();
  await new Promise((resolve) => setTimeout(resolve, 0));
  box.close();
  await settled();
  assert.deepEqual(kept.rows.map(({ kind, base }) => [kind, base]), [["put", 1], ["delete", null]]);
  const { box: next, told } = outbox(server, new SlowTable(false, kept.rows));
  await next.adopt();
  await settled();
  assert.equal(told.adopted, 2);
  assert.equal(server.versions.get("one"), 3);
  assert.deepEqual(told.conflicts, []);
});

test("a conflict holds up its own annotation only, and is told once", async () => {
  const [server, kept] = [new Server(), new SlowTable()];
  server.versions.set("one", 7);
  const { box, told } = outbox(server, kept);
  box.add(draft("one", "put", 3));
  box.add(draft("one", "put", 3, "later"));
  box.add(draft("two", "add", null));
  await settled();
  assert.deepEqual(told.stored, ["two 1"]);
  assert.equal(told.count, 2);
  box.wake();
  box.add(draft("three", "add", null));
  await settled();
  assert.equal(told.conflicts.length, 1);
  box.settle("one", { feature: feature("one", "later"), base: 7 });
  assert.equal(kept.rows.length, 1, "what was chosen is kept until it is stored");
  await settled();
  assert.deepEqual(told.stored, ["two 1", "three 1", "one 8"]);
  assert.equal(told.count, 0);
  assert.deepEqual(kept.rows, []);
});

test("taking the other version says that nothing waits", async () => {
  const [server, kept] = [new Server(), new SlowTable()];
  server.versions.set("one", 2);
  const { box, told } = outbox(server, kept);
  box.add(draft("one", "put", 1));
  await settled();
  assert.equal(told.count, 1);
  box.settle("one", null);
  assert.equal(told.count, 0);
  assert.deepEqual(kept.rows, []);
});

test("a server in trouble loses nothing, and what it can store goes on", async () => {
  const [server, kept] = [new Server(), new SlowTable()];
  server.problems = [new Problem(500, "a bug"), null, new Problem(507, "full"), new Problem(0, "away"), null];
  const { box, told } = outbox(server, kept);
  box.add(draft("one", "add", null));
  box.add(draft("two", "add", null));
  await new Promise((resolve) => setTimeout(resolve, 0));
  assert.deepEqual(told.stored, ["two 1"]);
  await new Promise((resolve) => setTimeout(resolve, 60));
  assert.deepEqual(told.stored, ["two 1", "one 1"]);
  assert.deepEqual(told.refused, []);
  assert.deepEqual(kept.rows, []);
});

test("who must sign in first is told so, and goes on afterwards", async () => {
  const [server, kept] = [new Server(), new SlowTable()];
  server.problems = [new Problem(401, "expired")];
  const { box, told } = outbox(server, kept);
  box.add(draft("one", "add", null));
  await settled();
  assert.equal(told.trouble, "Sign in to save");
  assert.equal(kept.rows.length, 1);
  assert.equal(server.told.length, 1, "it is not asked again before somebody signed in");
  box.wake();
  await settled();
  assert.deepEqual(told.stored, ["one 1"]);
});

test("what follows a refused annotation is refused with it, once", async () => {
  const [server, kept] = [new Server(), new SlowTable()];
  server.problems = [new Problem(400, "no such label")];
  const { box, told } = outbox(server, kept);
  box.add(draft("one", "add", null));
  box.add(draft("one", "put", null));
  await settled();
  assert.equal(told.refused.length, 1);
  assert.equal(told.count, 0);
  assert.deepEqual(kept.rows, []);
});

test("an answer that comes after the page was left takes its change off the list", async () => {
  const [server, kept] = [new Server(), new SlowTable()];
  const { box, told } = outbox(server, kept);
  box.add(draft("one", "add", null));
  box.close();
  assert.equal(kept.isClosed, false);
  await settled();
  assert.equal(server.versions.get("one"), 1);
  assert.deepEqual(kept.rows, []);
  assert.equal(kept.isClosed, true);
  assert.deepEqual(told.stored, []);
});
