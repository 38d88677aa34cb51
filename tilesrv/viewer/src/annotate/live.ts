/** What others do, told by the server as it happens; picked up again after every break. */

import { address, imagePath } from "../api";
import { KNOWN } from "../session";

export interface Revision {
  revision: number;
  author: string;
  /** Absent where there were too many to be listed. */
  changes?: { id: string; kind: string; version: number }[];
}

/** Milliseconds until a stream that the server refused is asked for again. */
const AGAIN = 5000;

/** The live log of one image. */
export class LiveLog {
  private events: EventSource | null = null;
  private timer = 0;
  private readonly awake = (): void => this.turn();

  /** `heard` is told each revision behind `revision`, `opened` every time that the stream begins. */
  constructor(
    private readonly image: string,
    private revision: number,
    private readonly heard: (told: Revision) => void,
    private readonly opened: () => void,
  ) {
    document.addEventListener("visibilitychange", this.awake);
    addEventListener(KNOWN, this.awake);
    this.turn();
  }

  close(): void {
    document.removeEventListener("visibilitychange", this.awake);
    removeEventListener(KNOWN, this.awake);
    this.stop();
  }

  private stop(): void {
    clearTimeout(this.timer);
    this.events?.close();
    this.events = null;
  }

  /** Pages that nobody sees let go of their stream: browsers have six connections to a server for all pages together. */
  private turn(): void {
    this.stop();
    if (document.visibilityState === "hidden") return;
    const events = new EventSource(address(imagePath(this.image, `/changes/events?since=${this.revision}`)));
    this.events = events;
    events.addEventListener("revision", (event) => {
      const told = JSON.parse((event as MessageEvent<string>).data) as Revision;
      this.revision = told.revision;
      this.heard(told);
    });
    events.addEventListener("open", this.opened);
    events.addEventListener("error", () => {
      // browsers try again by themselves after a break, not after an answer that is no stream
      if (events.readyState === EventSource.CLOSED) this.timer = window.setTimeout(() => this.turn(), AGAIN);
    });
  }
}
