/** Measuring without annotating: a line with its length, its last angle, and the area that it would close. */

import Draw from "ol/interaction/Draw";
import LineString from "ol/geom/LineString";
import VectorLayer from "ol/layer/Vector";
import VectorSource from "ol/source/Vector";
import type { ImageRecord } from "../api";
import { h } from "../dom";
import type { Grid2 } from "../grid";
import { areaOf, lengthOf } from "./measure";
import { sketch } from "./styles";

const COLOUR = "#ffd84a";

/** Angle between the last two stretches of a line on the map, in degrees; null before there are two. Pure. */
export function lastAngle(places: readonly (readonly number[])[]): number | null {
  const [a, b, c] = places.slice(-3);
  if (!a || !b || !c) return null;
  const way = (from: readonly number[], to: readonly number[]): number => Math.atan2((to[1] ?? 0) - (from[1] ?? 0), (to[0] ?? 0) - (from[0] ?? 0));
  const turn = Math.abs(((way(b, a) - way(b, c)) * 180) / Math.PI) % 360;
  return turn > 180 ? 360 - turn : turn;
}

/** The ruler. */
export class Ruler {
  readonly text = h("div", { class: "ruler", role: "status", hidden: true });
  readonly layer: VectorLayer;
  readonly draw: Draw;
  private readonly source = new VectorSource();
  private turn = 0;

  constructor(
    private readonly image: ImageRecord,
    private readonly grid: Grid2,
  ) {
    this.layer = new VectorLayer({ source: this.source, style: sketch(COLOUR), zIndex: 35 });
    this.draw = new Draw({ type: "LineString", source: this.source, style: sketch(COLOUR), stopClick: true });
    this.draw.setActive(false);
    this.draw.on("drawstart", ({ feature }) => {
      this.source.clear();
      let corners = 0;
      const geometry = feature.getGeometry();
      if (!(geometry instanceof LineString)) return;
      geometry.on("change", () => {
        const places = geometry.getCoordinates();
        if (places.length === corners) return; // only the pointer moved
        corners = places.length;
        void this.tell(places.slice(0, -1));
      });
    });
    this.draw.on("drawend", ({ feature }) => {
      const geometry = feature.getGeometry();
      if (geometry instanceof LineString) void this.tell(geometry.getCoordinates());
    });
  }

  setActive(active: boolean): void {
    this.draw.setActive(active);
    if (active) return;
    this.source.clear();
    this.turn++;
    this.text.hidden = true;
  }

  private async tell(places: readonly number[][]): Promise<void> {
    const mine = ++this.turn;
    if (places.length < 2) return;
    const world = places.map(([x = 0, y = 0]) => this.grid.fromMap([x, y]));
    const parts = [await lengthOf(this.image, this.grid, world)];
    const angle = lastAngle(places);
    if (angle !== null) parts.push(`${angle.toFixed(1)}°`, `closed: ${await areaOf(this.image, this.grid, [[...world, world[0] ?? []]])}`);
    if (mine !== this.turn) return;
    this.text.hidden = false;
    this.text.textContent = parts.join("   ");
  }
}
